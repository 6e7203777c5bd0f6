"""Training: the loop, its batches, objectives and optimisers, the record, and saving."""
