"""What is usual for a stream: statistics of its final bins, and how surprising a count is against them."""
