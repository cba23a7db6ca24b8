"""The pipeline: candles to a released model. Only this part knows Prefect and MLflow."""
