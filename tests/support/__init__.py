"""What several tests share: tables of cases, real servers, fakes at our own interfaces."""
