"""From a checkpoint to samples."""
