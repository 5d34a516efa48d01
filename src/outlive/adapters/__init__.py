"""What other libraries need to follow the primary: each module translates for one of them, and decides nothing."""
