"""The neural side: references to models, their anatomy, networks and adapters, sampling and interventions."""
