"""The only room that makes a storage system call."""
