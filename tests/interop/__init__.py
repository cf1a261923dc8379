"""Interoperation with peers in other languages."""
