"""What Prometheus scrapes: names, help and values of everything counted here, made when asked and never before."""
