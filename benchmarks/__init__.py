"""What measures speed and accuracy against peers, side by side in one run."""
