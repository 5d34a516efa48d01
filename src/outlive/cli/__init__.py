"""The command `outlive`: one file per noun, each function a thin face of the room that does the work."""
