"""Training: synthetic pairs, category pairs, fine-tuning. Needs torch."""
