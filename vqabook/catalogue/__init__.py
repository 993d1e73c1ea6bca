"""The data sets as the book shows them."""
