"""What the machine can do at most, each with everything else left out."""
