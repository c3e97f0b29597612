"""What wakes a person: a policy that makes few messages of many level changes, and their delivery."""
