"""What the end-to-end tests are made of: processes, the simulated model server, the gateway, raw HTTP."""
