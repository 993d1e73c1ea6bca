"""Detection under long tails: torchvision's Mask R-CNN with another classification loss. Needs `vqabook[detection]`."""
