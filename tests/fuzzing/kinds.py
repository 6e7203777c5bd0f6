"""All kinds of files that the fuzz suite damages."""

from fuzzing import archives, configs, exports, pictures, states, tables
from fuzzing.base import HAS_SAFETENSORS

KINDS = [pictures, tables, configs, archives, states]
if HAS_SAFETENSORS:
    KINDS.append(exports)
