"""Files of spaces over HTTP: uploads by form and by signed address, downloads (spec: client protocol §7)."""
