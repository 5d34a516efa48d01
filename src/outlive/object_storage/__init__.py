"""Objects under a URL: S3 and what speaks it, Google's, Azure's, a directory. Knows nothing of what is kept there."""
