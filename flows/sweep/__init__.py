"""Searching over trailing policies: grids, runs that resume, results, what they are worth."""
