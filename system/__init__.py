"""Files, precision and compilation, processes, interrupts, errors."""
