"""What Northpier Heating's agents can do in Python."""
