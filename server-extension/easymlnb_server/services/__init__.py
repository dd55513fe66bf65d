"""What services there are, and who may use them."""
