"""The broker's session: login, token file, rate budget. Imports nothing else of the agent."""
