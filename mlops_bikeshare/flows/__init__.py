"""One verb of the business each: it reads, calls the pure code of the stages, writes."""
