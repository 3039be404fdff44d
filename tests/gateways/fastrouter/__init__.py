"""Tests of the fastrouter."""
