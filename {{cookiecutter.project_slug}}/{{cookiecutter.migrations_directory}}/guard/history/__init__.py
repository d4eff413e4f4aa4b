"""The chain of revision files: what they do, and what is new in them."""
