"""One module per subcommand: ``add_arguments(parser)`` declares it, ``run(args)`` does it and returns JSON values."""
