// What libFuzzer offers to a program that has a main function of its own
// (llvm.org/docs/LibFuzzer.html#using-libfuzzer-as-a-library).
#ifndef CFUZZER_H
#define CFUZZER_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerRunDriver(int *argc, char ***argv, int (*callback)(const uint8_t *data, size_t size));

// The default mutation, in place; returns the new size.
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

#endif
