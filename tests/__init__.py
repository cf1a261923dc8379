"""Tests: mirror the packages; conformance, faults and interoperation beside the unit tests."""
