"""Serving one host over stdin and stdout.

=========== ========================================================================================================
``host``    bytes to events and back; when to read, and when not
``streams`` the streams themselves, of which none is waited for
=========== ========================================================================================================
"""
