"""Videos in, videos out: reading, processing, tracking, writing."""
