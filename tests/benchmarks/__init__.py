"""The harness: its pure parts, and one tiny run."""
