"""The method ``diff_mining``: tokens whose logits the finetuning raised."""
