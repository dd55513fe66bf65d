"""EasyMLServe's route: ``POST process`` as FastAPI answers it."""
