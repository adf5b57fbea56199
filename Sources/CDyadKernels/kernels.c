#include "CDyadKernels.h"
