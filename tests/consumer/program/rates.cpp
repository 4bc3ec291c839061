// What the functions need from their library, so that the link order matters.
double cents_per_kg() { return 120; }
