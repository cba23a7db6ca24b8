"""Looks at the machine, the home, the settings and, if asked, the broker; says how to mend it."""
