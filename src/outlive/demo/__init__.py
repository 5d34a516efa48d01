"""The main job: agents at work, the primary's node killed under them, and the proof that nothing was lost."""
