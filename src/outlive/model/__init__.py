"""The product's words as frozen values. Pure: no I/O, no clock, no chance."""
