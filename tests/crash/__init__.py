"""Every shape of saga is killed at each of its boundaries, and judged: enumerated, and not sampled."""
