"""What tests of several folders share: servers, processes, waiting, fixtures. Fixtures are loaded as pytest plugins."""
