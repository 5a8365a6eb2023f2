"""Registration of the ultra-wide (reference) view to the wide (target) view: geometry, blur and colour."""
