"""Unit tests: trial TestCases with virtual clocks; run by trial and by pytest."""
