#ifndef CDYADKERNELS_H
#define CDYADKERNELS_H
#endif
