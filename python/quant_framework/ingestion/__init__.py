"""What fetches and stores: adapters, writers, chunking, rate limits, checkpoints. No Airflow here."""
