"""The paper's equations in the paper's symbols."""
