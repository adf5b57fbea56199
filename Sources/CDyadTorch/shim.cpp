#include "CDyadTorch.h"
