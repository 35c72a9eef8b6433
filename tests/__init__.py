"""Tests of OneValue."""
