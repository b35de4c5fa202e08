"""The orchestration layer: workflows run anywhere; operators and DAG builders need Airflow."""
