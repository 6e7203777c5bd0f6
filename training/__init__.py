"""Training: the loop, its batches, objectives and optimizers, the record, and saving."""
