"""The virtual photo sessions: camera rig and writers for each archive's layout."""
