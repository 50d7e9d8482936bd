"""What an endpoint answered beside what came true, up to the evidence a gate reads."""
